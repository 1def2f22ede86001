"""What the pages say, in Chinese and English."""

from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "title": {"zh": "受控标注", "en": "Controlled labelling"},
    "other_language": {"zh": "English", "en": "中文"},
    "enter": {"zh": "进入", "en": "Enter"},
    "invitation": {"zh": "邀请码", "en": "Invitation"},
    "invitation_hint": {
        "zh": "由任务负责人发给您本人，请勿转交。",
        "en": "The task's owner gave it to you. It is for you alone.",
    },
    "honest": {
        "zh": "每张图片都带有您的编号与时间的水印，每次查看与保存都会留下记录。截图可以被追溯，但无法被阻止。",
        "en": (
            "Every picture carries your id and the time, and every view and save is recorded. "
            "A screenshot can be traced; it cannot be prevented."
        ),
    },
    "leave": {"zh": "退出", "en": "Leave"},
    "annotator": {"zh": "标注员", "en": "annotator"},
    "reviewer": {"zh": "审核员", "en": "reviewer"},
    "until": {"zh": "截止", "en": "until"},
    "not_admitted": {
        "zh": "邀请码无效或已过期，请向任务负责人索取新的。",
        "en": "This invitation is not valid, or its time is over. Ask the task's owner for a new one.",
    },
    "label_task_over": {
        "zh": "任务已关闭或已到期，不再显示任何内容。您的标注已加密保存。",
        "en": "The task was closed or its time is over. Nothing more is shown. Your work is kept, sealed.",
    },
    "release_ended": {
        "zh": "对该发布数据的授权已结束或已被撤销，不再显示任何内容。您的标注已加密保存。",
        "en": (
            "The right to read this release has ended or was revoked. Nothing more is shown. "
            "Your work is kept, sealed."
        ),
    },
    "gate_unavailable": {
        "zh": "网关暂时无法应答，在其应答之前不显示任何内容。您的标注已加密保存，稍后请重新载入。",
        "en": (
            "The gate cannot answer now, and nothing is shown until it does. Your work is kept, sealed. "
            "Reload the page later."
        ),
    },
    "session_ended": {
        "zh": "会话已结束。尚未保存的修改还在本页：请在另一标签页用邀请码重新进入，然后点“重试”。",
        "en": (
            "Your session has ended. Changes that are not saved are still on this page: enter again in another "
            "tab, then choose Try again."
        ),
    },
    "reload": {"zh": "重新载入", "en": "Reload"},
    "retry": {"zh": "重试", "en": "Try again"},
    "classes": {"zh": "类别", "en": "Classes"},
    "tools": {"zh": "工具", "en": "Tools"},
    "select": {"zh": "选择", "en": "Select"},
    "bbox": {"zh": "矩形框", "en": "Box"},
    "polygon": {"zh": "多边形", "en": "Polygon"},
    "new_here": {"zh": "居中放一个框", "en": "Box in the middle"},
    "undo": {"zh": "撤销", "en": "Undo"},
    "zoom_in": {"zh": "放大", "en": "Zoom in"},
    "zoom_out": {"zh": "缩小", "en": "Zoom out"},
    "fit": {"zh": "适应窗口", "en": "Fit"},
    "previous": {"zh": "上一帧", "en": "Previous"},
    "next": {"zh": "下一帧", "en": "Next"},
    "frame": {"zh": "帧", "en": "Frame"},
    "frames": {"zh": "各帧进度", "en": "Frames"},
    "objects": {"zh": "对象（轨迹）", "en": "Objects (tracks)"},
    "no_objects": {
        "zh": "还没有对象。选好类别后在图上画框。",
        "en": "None yet. Choose a class and draw on the picture.",
    },
    "in_frame": {"zh": "在本帧", "en": "in this frame"},
    "selected": {"zh": "选中的标注", "en": "Selected label"},
    "nothing_selected": {"zh": "未选中标注", "en": "Nothing is selected"},
    "class": {"zh": "类别", "en": "Class"},
    "unset": {"zh": "未填", "en": "not said"},
    "yes": {"zh": "是", "en": "yes"},
    "no": {"zh": "否", "en": "no"},
    "delete": {"zh": "删除", "en": "Delete"},
    "interpolate": {"zh": "在关键帧之间插值", "en": "Interpolate between key frames"},
    "interpolated_done": {"zh": "已插值的帧数：", "en": "Frames interpolated: "},
    "interpolated_left": {
        "zh": "因他人刚保存而跳过的帧数：",
        "en": "Frames left, somebody saved them meanwhile: ",
    },
    "place_here": {"zh": "放到本帧", "en": "Place in this frame"},
    "confirm": {"zh": "确认", "en": "Confirm"},
    "confirm_all": {"zh": "确认本帧全部预标注", "en": "Confirm all pre-labels here"},
    "from_model": {"zh": "预标注（模型）", "en": "pre-label by a model"},
    "from_person": {"zh": "人工", "en": "by"},
    "key_frame": {"zh": "关键帧", "en": "key frame"},
    "interpolated": {"zh": "插值", "en": "interpolated"},
    "confidence": {"zh": "置信度", "en": "confidence"},
    "review": {"zh": "审核", "en": "Review"},
    "open": {"zh": "待审核", "en": "open"},
    "accepted": {"zh": "已通过", "en": "accepted"},
    "rejected": {"zh": "已退回", "en": "rejected"},
    "accept": {"zh": "通过", "en": "Accept"},
    "accept_all": {"zh": "本帧全部通过", "en": "Accept all here"},
    "reject": {"zh": "退回", "en": "Reject"},
    "reason": {"zh": "退回原因", "en": "Reason"},
    "reason_needed": {"zh": "退回需要写明原因", "en": "Say why before you reject"},
    "saved": {"zh": "已保存", "en": "Saved"},
    "saving": {"zh": "正在保存…", "en": "Saving…"},
    "unsaved": {"zh": "有未保存的修改", "en": "Changes not saved yet"},
    "save_failed": {"zh": "保存失败，将自动重试", "en": "Not saved, trying again"},
    "refused": {"zh": "未保存：", "en": "Not saved: "},
    "loading": {"zh": "正在载入…", "en": "Loading…"},
    "conflict": {"zh": "他人刚刚保存了本帧", "en": "Somebody saved this frame meanwhile"},
    "conflict_hint": {
        "zh": "两个版本都已保留。请选择以哪个继续。",
        "en": "Both versions are kept. Choose which one to go on with.",
    },
    "use_theirs": {"zh": "用对方的版本", "en": "Go on with theirs"},
    "use_mine": {"zh": "用我的版本", "en": "Go on with mine"},
    "canvas": {
        "zh": "标注画布。方向键移动选中的标注，Alt 加方向键改变大小，Delete 删除。",
        "en": (
            "Picture with labels. Arrow keys move the selected label, Alt and arrows resize it, "
            "Delete removes it."
        ),
    },
    "shortcuts": {"zh": "快捷键", "en": "Keys"},
    "shortcuts_text": {
        "zh": (
            "V 选择 · B 矩形框 · P 多边形（Enter 结束，Esc 取消）· N 居中放框 · 1–9 类别 · "
            "方向键移动（Shift 十像素）· Alt+方向键改变大小 · [ ] 换选标注 · Delete 删除 · C 确认 · "
            "Ctrl+Z 撤销 · , . 上一帧/下一帧 · + − 0 缩放 · 空格拖动"
        ),
        "en": (
            "V select · B box · P polygon (Enter ends it, Esc gives it up) · N box in the middle · 1–9 class · "
            "arrows move (Shift: ten pixels) · Alt+arrows resize · [ ] other label · Delete removes · "
            "C confirm · Ctrl+Z undo · , . previous and next frame · + − 0 zoom · space drags the picture"
        ),
    },
    "too_many_views": {
        "zh": "一分钟内查看的图片过多，请稍候。",
        "en": "Too many pictures in a minute. Wait a moment.",
    },
    "failed": {"zh": "出错：", "en": "It failed: "},
}
