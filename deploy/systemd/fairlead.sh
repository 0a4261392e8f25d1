#!/bin/sh
# `fairlead` for people on the controller's host: as the unit runs it, with its user, its settings and its secrets.
# Install it as /usr/local/bin/fairlead (docs/operating.md). Its folder is /: give files by their whole path.
set -eu
if [ -t 0 ] && [ -t 1 ]; then streams=--pty; else streams=--pipe; fi
if [ "$(id -u)" -eq 0 ]; then as_root=; else as_root=sudo; fi
exec $as_root systemd-run --quiet --wait --collect "$streams" --uid=fairlead \
  --property=EnvironmentFile=-/etc/fairlead/environment \
  --property=StateDirectory=fairlead --property=StateDirectoryMode=0700 \
  --setenv=FAIRLEAD_CONFIG=/etc/fairlead/fairlead.toml \
  /opt/fairlead/bin/fairlead "$@"
