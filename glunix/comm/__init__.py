"""The only asyncio code: links, dialling, listening, the event loop (the paper's Comm)."""
