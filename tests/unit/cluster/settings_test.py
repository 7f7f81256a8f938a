"""The operator's settings: what is wrong is named by its field."""

import pytest

from podium.api.problems import InvalidError
from podium.cluster.settings import Settings, load_settings


def load(directory, text):
    path = directory / "operator.yaml"
    path.write_text(text)
    return load_settings(path)


def test_defaults(tmp_path):
    assert load_settings(None) == Settings()
    for text in ("", "# nothing\n", "{}"):
        assert load(tmp_path, text) == Settings()


def test_all_settings_are_read(tmp_path):
    settings = load(
        tmp_path,
        """
namespaces: [a, b]
runnerImage: registry/podium:1
installation: second
livenessPort: 0
jobs: {succeededTTLSeconds: 0, failedTTLSeconds: 60, maxEnded: 5}
limits: {maxRunning: 100, maxRunningPerNamespace: 10}
outputs: {fromLogs: true}
allowInlineWorkflows: false
allowExecutors: false
allowRecordedAnswers: true
requestersAreVerified: true
approversAreVerified: true
overridesAreVerified: true
creatorsAreVerified: true
requireUsableServiceAccounts: false
referenceChecks: false
requireUsableSecrets: true
podDefaults: {nodeSelector: {pool: batch}}
arbitraryUserIDs: true
artifacts: {pvc: {claimName: store}}
leaderElection: {enabled: false}
featureGates: {ManagedJobs: false}
logLevel: debug
logFormat: text
""",
    )
    assert not settings.manages
    assert not settings.reference_checks
    assert settings.require_usable_secrets
    assert not settings.reference_checks
    assert settings.require_usable_secrets
    assert settings.namespaces == ["a", "b"]
    assert (settings.jobs.succeeded_ttl_seconds, settings.jobs.failed_ttl_seconds) == (0, 60)
    assert (settings.limits.max_running, settings.limits.max_running_per_namespace) == (100, 10)
    assert settings.pod_defaults == {"nodeSelector": {"pool": "batch"}}
    assert settings.offered == ("outputs.fromLogs", "artifacts")
    assert settings.model_fields_set == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("inline", "recorded", "allowed"),
    [(True, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
def test_recorded_answers_are_allowed_where_a_graph_of_the_runs_own_is(inline, recorded, allowed):
    settings = Settings(allow_inline_workflows=inline, allow_recorded_answers=recorded)
    assert settings.allows_recorded_answers is allowed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("runnerimage: x", ["runnerimage: ", 'did you mean "runnerImage"?']),
        ("jobs: {ttl: 5}", ["jobs.ttl: unknown field", "succeededTTLSeconds"]),
        ("jobs: {succeededTTLSeconds: -1}", ["jobs.succeededTTLSeconds: ", "-1"]),
        ("jobs: {maxEnded: many}", ["jobs.maxEnded: ", "'many'"]),
        ("limits: 5", ["limits: ", "5"]),
        ("limits: {maxRunningPerNamespace: 1.5}", ["limits.maxRunningPerNamespace: "]),
        ("namespaces: team", ["namespaces: ", "'team'"]),
        ("namespaces: [1]", ["namespaces[0]: "]),
        ("livenessPort: 70000", ["livenessPort: ", "65,535"]),
        ("allowInlineWorkflows: perhaps", ["allowInlineWorkflows: ", "'perhaps'"]),
        ("podDefaults: [a]", ["podDefaults: ", "a list"]),
        ("logLevel: loud", ["logLevel: ", "'loud'", "debug"]),
        ("1: x", ["[1]: "]),
        ("- a", ["a list"]),
        ("[]", ["a list"]),
        ("false", ["false"]),
        ("text", ["'text'"]),
        ("{", ["is not YAML"]),
        ("a: !!python/object:os.system x", ["is not YAML"]),
    ],
)
def test_wrong_settings_name_the_field(tmp_path, text, words):
    with pytest.raises(InvalidError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    told = str(problem)
    assert told.startswith(f"{tmp_path}/operator.yaml: ")
    for word in words:
        assert word in told
    assert "pydantic" not in told


def test_all_that_is_wrong_is_named(tmp_path):
    with pytest.raises(InvalidError) as caught:
        load(tmp_path, "logLevel: loud\njobs: {maxEnded: -1}\n")
    assert len(caught.value.problems) == 2


def test_a_file_that_cannot_be_read(tmp_path):
    for path, words in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidError, match=f"{path}: cannot be read: {words}"):
            load_settings(path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidError, match="is not YAML"):
        load_settings(binary)


@pytest.mark.parametrize(
    "artifacts",
    [
        "{pvc: {claimName: c}, s3: {bucket: abc, credentialsSecret: s}}",
        "{s3: {bucket: abc}}",
        "{s3: {bucket: abc, credentialsSecret: s, roleARN: r}}",
        "{s3: {bucket: abc, credentialsSecret: s, addressing: other}}",
    ],
)
def test_a_store_is_one_with_one_kind_of_credentials(tmp_path, artifacts):
    with pytest.raises(InvalidError):
        load(tmp_path, f"artifacts: {artifacts}")


@pytest.mark.parametrize(
    ("inline", "verified", "allowed"),
    [(True, False, True), (False, False, False), (False, True, True)],
)
def test_parts_are_allowed_where_a_policy_says_who_may_run_them(inline, verified, allowed):
    settings = Settings(allow_inline_workflows=inline, overrides_are_verified=verified)
    assert settings.allows_parts is allowed
