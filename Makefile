check:
	.venv/bin/ruff format . && .venv/bin/ruff check . && .venv/bin/mypy
