"""Names of the classes of well-known datasets; the sources and their licences are in ATTRIBUTION.md."""
