"""The proxy against Kamailio, on the same machine in the same run."""
