"""CronJob: make a Job whenever the schedule is due."""
