"""The catalog's contract, one module a subject. A back-end inherits each contract; SQLite does so here."""
