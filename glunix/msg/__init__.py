"""Every wire type, typed and validated; framing is sans-IO (the paper's Msg)."""
