from __future__ import annotations

import tracemalloc
from hashlib import sha256

import httpx
import pytest

from airflow_provider_qlik.sandbox import File, SandboxError, Script, SharingScript, Tenant
from airflow_provider_qlik.sandbox.state.files import CHUNK_BYTES, MEDIA_TYPES


def executed(tenant: Tenant, *files: File, script: Script | None = None) -> str:
    """The address of the files of an execution that has made these."""
    task_id = tenant.add_sharing_task()
    script = script or Script()
    execution_id = tenant.add_execution(task_id, script=SharingScript(script, files=files) if files else script)
    return f"/api/v1/sharing-tasks/{task_id}/executions/{execution_id}/files"


def receive(response: httpx.Response, into: bytearray) -> None:
    for part in response.iter_raw():
        into += part


def test_an_execution_makes_a_file_for_each_template(tenant: Tenant, api: httpx.Client) -> None:
    templates = [{"type": "chart", "subType": "snapshot", "fileAlias": "small"}, {"type": "excel", "subType": "xlsx"}]
    task_id = tenant.add_sharing_task(templates=templates)
    tenant.add_execution(task_id)
    path = f"/api/v1/sharing-tasks/{task_id}/executions/latest"
    execution = api.get(path).json()
    assert [(one["fileAlias"], one["type"]) for one in execution["files"]] == [("small", "image"), ("report-2", "xlsx")]
    assert {one["userId"] for one in execution["files"]} == {tenant.user_id}
    assert api.get(f"{path}/files/report-2").content.startswith(b"PK")


@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17])
def test_a_file_has_the_scripted_size(tenant: Tenant, api: httpx.Client, size: int) -> None:
    path = executed(tenant, File("big", size=size))
    response = api.get(f"{path}/big")
    assert (len(response.content), response.headers["content-length"]) == (size, str(size))
    assert sha256(response.content).hexdigest() == tenant.file_sha256(path.split("/")[-2], "big")


def test_a_file_has_stable_content_that_differs_per_execution(tenant: Tenant, api: httpx.Client) -> None:
    path, other = executed(tenant), executed(tenant)
    assert api.get(f"{path}/report").content == api.get(f"{path}/report").content
    assert api.get(f"{path}/report").content != api.get(f"{other}/report").content


def test_every_part_of_a_file_is_different() -> None:
    chunks = list(File(size=10 * CHUNK_BYTES).chunks("execution"))
    assert len(set(chunks)) == 10


def test_a_large_file_is_not_held_in_memory(tenant: Tenant, api: httpx.Client) -> None:
    path = executed(tenant, File("large", size=20_000_000))
    tracemalloc.start()
    with api.stream("GET", f"{path}/large") as response:
        received = sum(len(part) for part in response.iter_raw())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received == 20_000_000
    assert most < 5_000_000


@pytest.mark.parametrize(("type", "media_type"), MEDIA_TYPES.items())
def test_a_file_has_the_content_type_of_its_own_type(
    tenant: Tenant, api: httpx.Client, type: str, media_type: str
) -> None:
    path = executed(tenant, File("one", type))
    assert api.get(f"{path}/one").headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize(("switch", "media_type"), [("octet-stream", "application/octet-stream"), ("absent", None)])
def test_the_content_type_may_be_generic_or_absent(
    tenant: Tenant, api: httpx.Client, switch: str, media_type: str | None
) -> None:
    tenant.switch(file_type=switch)
    assert api.get(f"{executed(tenant)}/report").headers.get("content-type") == media_type


def test_the_content_length_may_be_absent(tenant: Tenant, api: httpx.Client) -> None:
    tenant.switch(file_length="absent")
    response = api.get(f"{executed(tenant)}/report")
    assert (len(response.content), "content-length" in response.headers) == (1000, False)


@pytest.mark.parametrize("end", ["failed", "cancelled", "invalid", None])
def test_an_execution_that_failed_or_has_not_ended_has_no_files(
    tenant: Tenant, api: httpx.Client, end: str | None
) -> None:
    path = executed(tenant, script=Script(end=end))
    assert api.get(path.removesuffix("/files")).json()["files"] == []
    assert api.get(f"{path}/report").status_code == 404


def test_an_unknown_file_is_404(tenant: Tenant, api: httpx.Client) -> None:
    path = executed(tenant)
    assert api.get(f"{path}/other").status_code == 404
    with pytest.raises(SandboxError, match="other"):
        tenant.file_sha256("none", "other")


def test_an_alias_may_contain_an_encoded_slash(tenant: Tenant, api: httpx.Client) -> None:
    path = executed(tenant, File("sales/2026 %2F"), File("sales"))
    assert api.get(f"{path}/sales%2F2026%20%252F").content.startswith(b"%PDF-")
    assert api.get(f"{path}/sales/2026%20%252F").status_code == 404
    assert tenant.request_log()[-2].operation == "get_sharing_task_execution_file"


@pytest.mark.parametrize("length", ["present", "absent"])
@pytest.mark.parametrize(("cut_at", "received"), [(None, 100_000), (0, 0), (70_000, 70_000)])
def test_a_download_may_be_cut(
    tenant: Tenant, api: httpx.Client, length: str, cut_at: int | None, received: int
) -> None:
    tenant.switch(file_length=length)
    path = executed(tenant, File("big", size=200_000))
    tenant.fault(response="cut", cut_at=cut_at)
    got = bytearray()
    with api.stream("GET", f"{path}/big") as response:
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
            receive(response, got)
    assert len(got) == received
    whole = api.get(f"{path}/big").content
    assert (len(whole), whole[:received]) == (200_000, bytes(got))


def test_a_download_may_be_truncated_with_a_matching_length(tenant: Tenant, api: httpx.Client) -> None:
    path = executed(tenant, File("big", size=200_000))
    tenant.fault(response="truncated")
    assert len(api.get(f"{path}/big").content) == 100_000


def test_a_download_may_be_a_web_page(tenant: Tenant, api: httpx.Client) -> None:
    tenant.fault(response="html")
    assert api.get(f"{executed(tenant)}/report").headers["content-type"].startswith("text/html")


def test_an_aborted_download_does_not_affect_other_requests(
    tenant: Tenant, api: httpx.Client, anybody: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    path = executed(tenant, File("huge", size=10**12))
    with api.stream("GET", f"{path}/huge") as response:
        next(response.iter_raw())
        assert anybody.get("/api/v1/users/me").status_code == 401
    assert api.get(f"{path}/huge", headers={"Authorization": ""}).status_code == 401
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("size", [-1, 1.5, True, "big"])
def test_an_invalid_file_size_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match="size"):
        File(size=size)  # type: ignore[arg-type]
