"""The loop that every controller shares: key queue, facts, plan, commands."""
