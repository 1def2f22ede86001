package fleetgate_test.intake.period_plausible

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "period_plausible" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: recording ends before it starts": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/started_at", "value": "2026-05-01T10:00:00Z"}])},
	"denies: recording ends in the future": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/ended_at", "value": "2026-05-03T09:30:00Z"}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/time"}])},
	"denies without resource.ended_at": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/ended_at"}])},
	"denies without resource.started_at": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/started_at"}])},
}
