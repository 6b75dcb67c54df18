"""`python -m tiphys` is the command `tiphys`."""

from tiphys.cli.main import main

raise SystemExit(main())
