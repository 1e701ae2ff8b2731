"""The doctor's checks, one module for each area. A check returns findings and never raises.

finding.py   a finding: check, grade, what was found, what to do
software.py  Python, libraries, compiled parts
host.py      cores, isolation, governor, permissions, clock: the machine against the configuration
keeping.py   shared memory, disk, database, what a dead instance left, switches, credentials
online.py    venues: reach, clocks, state, grids and fees, account
edge.py      thresholds against what a round trip costs
"""
