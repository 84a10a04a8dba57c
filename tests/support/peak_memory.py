#!/usr/bin/python3
"""peak_memory.py COMMAND...: runs it and prints its peak resident memory in KiB; exits as it did."""
import resource
import subprocess
import sys

code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
