package fleetgate_test.publish.decision_binds

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "decision_binds" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "decision_binds" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "decision_binds" in publish.passed with input as examples.publish.eu

test_denies_the_decision_was_a_denial if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/decision/allowed", "value": false}])
	missing := publish.missing with input as question
	missing == {"decision_binds"}
}

test_denies_the_decision_rests_on_an_older_bundle if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/decision/bundle_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])
	missing := publish.missing with input as question
	missing == {"decision_binds"}
}

test_denies_the_decision_is_about_other_content if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/decision/release_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])
	missing := publish.missing with input as question
	missing == {"decision_binds"}
}

test_denies_content_changed_after_it_was_judged if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/resource/judged_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])
	missing := publish.missing with input as question
	missing == {"decision_binds"}
}

test_denies_without_context_decision_allowed if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/decision/allowed"}])
	missing := publish.missing with input as question
	"decision_binds" in missing
}

test_denies_without_context_decision_bundle_digest if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/decision/bundle_digest"}])
	missing := publish.missing with input as question
	"decision_binds" in missing
}

test_denies_without_context_decision_release_digest if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/decision/release_digest"}])
	missing := publish.missing with input as question
	"decision_binds" in missing
}

test_denies_without_resource_digest if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/resource/digest"}])
	missing := publish.missing with input as question
	"decision_binds" in missing
}

test_denies_without_resource_judged_digest if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/resource/judged_digest"}])
	missing := publish.missing with input as question
	"decision_binds" in missing
}
