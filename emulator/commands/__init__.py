"""What every command stands on: bad input, configuration, writing, running, the device, tables of results."""
