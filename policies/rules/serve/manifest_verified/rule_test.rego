package fleetgate_test.serve.manifest_verified

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "manifest_verified" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: release manifest does not verify": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/resource/manifest_signature_verified", "value": false}])},
	"denies without resource.manifest_signature_verified": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/resource/manifest_signature_verified"}])},
}
