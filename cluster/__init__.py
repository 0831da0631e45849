"""Many variants: what to run next, where it runs, and the `paredown` command."""
