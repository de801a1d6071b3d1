"""A definition tried dry (proefdossier): a case walks its whole path, and nothing of it is kept."""
