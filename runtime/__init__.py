"""What every process needs from the host: start-up, clocks of life, files that outlive everything."""
