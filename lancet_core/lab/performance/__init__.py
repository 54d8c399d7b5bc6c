"""What the engine costs: passes against a floor, indexes, rivals, each in a process with the memory settings of LANCET."""
