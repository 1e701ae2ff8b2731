"""The venues as the executor sees them: live over sockets, or on paper."""
