"""The suite: isoexec beside what else runs Python handlers, case by case."""
