"""What Arm and the SMCCC say: registers, commands, table entries, numbers. Declared here once; imports nothing else."""
