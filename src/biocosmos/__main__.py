"""``python -m biocosmos``, which is how torchrun starts it."""

from biocosmos.cli import main

if __name__ == "__main__":
    main()
