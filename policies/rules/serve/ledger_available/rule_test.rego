package fleetgate_test.serve.ledger_available

import data.examples
import data.fleetgate.serve

test_passes_engineer if "ledger_available" in serve.passed with input as examples.serve.engineer

test_passes_eu if "ledger_available" in serve.passed with input as examples.serve.eu

test_denies_no_ledger if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/ledger_available", "value": false}])
	missing := serve.missing with input as question
	missing == {"ledger_available"}
}

test_denies_without_context_ledger_available if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/ledger_available"}])
	missing := serve.missing with input as question
	"ledger_available" in missing
}
