"""The pages: what people look at. Server-rendered, of one account each, and of the same functions as all other faces.

A request passes `gate` (who is signed in), says in its URL which `view` it wants, and asks a `Look` (`look`) for numbers, which
`words` puts as text and `frame` as HTML. `routes` has all of them together.
"""
