"""The tools: thin; parse, one api call, print."""
