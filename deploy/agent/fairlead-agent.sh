#!/bin/sh
# `fairlead-agent` for people: the same agent that the unit runs, without watching over a new one.
exec /usr/bin/python3 -I /opt/fairlead-agent/launcher.py "$@"
