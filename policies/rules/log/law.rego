package fleetgate.log

import data.fleetgate.lib

law_entry_fields := lib.value(data.law.logging.entry_fields)

law_suites := lib.members(data.law.cryptography.suites)
