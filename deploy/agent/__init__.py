"""Builds what is installed on instances: `python -m deploy.agent`, or `make agent`."""
