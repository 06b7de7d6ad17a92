"""The server: the Data Access API, its family under `/api/v1`, and the publishing of every hour.

`app` puts it together; a request passes `guard` (who is it, what was done), then `data_access` or `api`; `problems`
alone knows which error is which status.
"""
