"""The pod state machine: facts → plan → commands, one worker for each pod UID."""
