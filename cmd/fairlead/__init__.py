"""The command line of Fairlead."""
