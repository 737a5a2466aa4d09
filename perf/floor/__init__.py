"""The floor: isoexec against a throw-away prototype that does nothing but the crossing."""
