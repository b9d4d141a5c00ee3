"""The shapes of the templates that a sharing task renders and delivers. https://qlik.dev/apis/rest/sharing-tasks/"""

from __future__ import annotations

from typing import Annotated, Any

from airflow_provider_qlik.cloud.models.members import Needed, Number, one_of
from airflow_provider_qlik.cloud.models.shape import Shape

TemplateType = Annotated[
    str,
    one_of(
        *("file", "chart", "story", "sheet", "multi-sheet"),
        *("excel", "pixel-perfect", "html", "powerpoint", "word"),
    ),
]
TemplateSubType = Annotated[str, one_of("image", "snapshot", "pdf", "pptx", "xlsx", "qpxp", "qhtml", "docx")]
FileTimeStamp = Annotated[str, one_of("yyyy-MM-dd", "yyyy-MM-dd_HH-mm", "yyyyMMdd", "yyyyMMdd_HH-mm")]


class SharingChartTemplate(Shape):
    """A chart to render; Qlik needs app, sheet, object and both sizes of it, in pixels."""

    app_id: str | None = None
    js_opts: dict[str, Any] | None = None
    out_dpi: int | None = None
    out_zoom: Number = None
    patches: list[dict[str, Any]] | None = None
    sheet_id: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    object_id: str | None = None
    object_def: dict[str, Any] | None = None
    persistent_bookmark_include_variables: bool | None = None


class SharingSheetTemplate(Shape):
    """A sheet to render; sizes in pixels."""

    app_id: str | None = None
    js_opts: dict[str, Any] | None = None
    sheet_id: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    is_private: bool | None = None
    sheet_name: str | None = None
    js_opts_by_id: dict[str, Any] | None = None
    patches_by_id: dict[str, Any] | None = None


class SharingMultiSheetTemplate(SharingSheetTemplate):
    """One of several sheets to render; without a size, or with 0, its size is automatic."""

    resize_type: Annotated[str, one_of("none", "fit", "autofit")] | None = None
    persistent_bookmark_include_variables: bool | None = None


class SharingStoryTemplate(Shape):
    """A story to render."""

    app_id: str | None = None
    story_id: str | None = None


class SharingTemplate(Shape):
    """A template to render and deliver; `type` decides which of the data members is used."""

    type: Annotated[TemplateType | None, Needed()] = None
    sub_type: TemplateSubType | None = None
    file_name: str | None = None
    chart_data: SharingChartTemplate | None = None
    file_alias: str | None = None
    sheet_data: SharingSheetTemplate | None = None
    story_data: SharingStoryTemplate | None = None
    template_id: str | None = None
    file_time_stamp: FileTimeStamp | None = None
    multi_sheet_data: list[SharingMultiSheetTemplate] | None = None
