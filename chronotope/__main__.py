"""`python -m chronotope`, and `torchrun -m chronotope train dit ...` for many processes."""

from chronotope.cli.commands import main

if __name__ == "__main__":
    main()
