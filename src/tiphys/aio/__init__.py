"""Time and tasks: clocks, task ownership, the dedupe queue with back-off, broadcast, limits."""
