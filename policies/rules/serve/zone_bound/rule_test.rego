package fleetgate_test.serve.zone_bound

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "zone_bound" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: a partner's release at the partner's": {"passes": true, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/destination_zone", "value": "partner"}, {"op": "replace", "path": "/context/network_zone", "value": "partner"}])},
	"passes: a public release in the zone": {"passes": true, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/destination_zone", "value": "public"}])},
	"denies: an in-zone release at a partner's": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "partner"}])},
	"denies: a release for abroad": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/destination_zone", "value": "foreign"}])},
	"denies: a partner's release from the public network": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/destination_zone", "value": "partner"}, {"op": "replace", "path": "/context/network_zone", "value": "public"}])},
	"denies without the destination": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/release/destination_zone"}])},
	"denies without the network zone": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/network_zone"}])},
}
