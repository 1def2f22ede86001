package fleetgate.serve

import data.fleetgate.lib

law_home_countries := lib.members(data.law.transfer.home_countries_cn) if input.context.profile.jurisdiction == "CN"

law_home_countries := lib.members(data.law.transfer.home_countries_eu) if input.context.profile.jurisdiction == "EU"
