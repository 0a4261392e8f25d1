"""`python -m fairlead_agent`."""

import sys

from fairlead_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
