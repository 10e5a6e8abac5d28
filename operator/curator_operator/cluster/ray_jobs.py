"""Performers of the actions on Ray jobs. Called by `apply`."""

from __future__ import annotations

from curator_api.v1alpha1 import PipelineSpec
from curator_operator.cluster.http import Unreachable
from curator_operator.cluster.performing import Place, Tools, performs
from curator_operator.cluster.targets import existing_of
from curator_operator.desired.job import package
from curator_operator.reconcile.actions import DrainDriver, StopJob, SubmitJob


@performs(SubmitJob)
async def submit_job(tools: Tools, place: Place, action: SubmitJob) -> None:
    """On an existing cluster the manifest's package first; a job that is there is ours."""
    pipeline = place.pipeline
    at = await tools.targets.dashboard(pipeline, action.cluster)
    if existing_of(pipeline) is not None:
        carried = package(pipeline, PipelineSpec.model_validate(dict(pipeline.spec)))
        await tools.jobs.upload(at, carried.uri, carried.data)
    await tools.jobs.submit(at, action.body)


@performs(DrainDriver)
async def drain_driver(tools: Tools, place: Place, action: DrainDriver) -> None:
    """Asking twice is asking once."""
    pipeline = place.pipeline
    address = pipeline.status.driver_address or place.entry.job.driver_address
    at = await tools.targets.driver(pipeline, action.cluster, address)
    if at is None:
        raise Unreachable(f"driver of job {action.submission_id}: its address is not known yet")
    await tools.driver.drain(at)


@performs(StopJob)
async def stop_job(tools: Tools, place: Place, action: StopJob) -> None:
    """One that the head does not know is stopped."""
    at = await tools.targets.dashboard(place.pipeline, action.cluster)
    await tools.jobs.stop(at, action.submission_id)
