"""The master among daemons that speak by script: golden transcripts, no I/O, no sleep."""
