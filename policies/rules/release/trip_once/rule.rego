package fleetgate.release

# METADATA
# title: No recording has another live release, and none is named twice
# description: 同一行程不得以不同密钥再次发布
# custom:
#   number: law 7
#   clause: DESIGN.md §3 law 7 (trip shape joins releases)
#   confidence: own
passed contains "trip_once" if {
	every recording in input.resource.recordings { recording.prior_live_releases == 0 }
	count({recording.id | some recording in input.resource.recordings}) == count(input.resource.recordings)
}

facts contains {"rule": "trip_once", "fact": {"recording": recording.id, "live_releases": recording.prior_live_releases}} if {
	"trip_once" in missing
	some recording in input.resource.recordings
	recording.prior_live_releases != 0
}

facts contains {"rule": "trip_once", "fact": {"recording": recording.id, "named": named}} if {
	some recording in input.resource.recordings
	named := count([other | some other in input.resource.recordings; other.id == recording.id])
	named > 1
}
