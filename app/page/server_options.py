"""The options of the page, and what they mean for what visitors may reach."""

import argparse
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.options import areas_of, check_classes, count, effect
from app.page.origin import THIS_MACHINE, is_loopback, split_host
from app.stream.controls import Controls
from app.stream.effect import USAGE
from app.stream_errors import AppError
from solov2 import VARIANTS
from solov2.cli import CommandParser, add_debug_flag, add_engine_option, program
from solov2.pixel_limit import add_pixel_option
from solov2.runtime.names import check_engine_name

if TYPE_CHECKING:
    from app.lane_plan import LanePlan
    from app.page.access import Access
    from app.page.model_cache import Models

LOGIN_VARIABLE = "SOLOV2_LOGIN"


def build_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = CommandParser(prog=program("app.ui"), description="Segment streams, videos and pictures in a browser.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in (%(default)s)")
    add("--public-host", action="append", type=host_name, metavar="NAME", help="a name under which the page is reached")
    add(
        "--behind-proxy",
        nargs="?",
        const=THIS_MACHINE,
        metavar="ADDRESS",
        help="believe the X-Forwarded-* headers of a proxy at ADDRESS, such as 172.16.0.0/12 (%(const)s)",
    )
    add("--port", type=port, help="port to listen on (the first free one from 7860 on)")
    add("--share", action="store_true", help="also make the page reachable through a public address of Gradio's")
    add("--login", metavar="USER:PASSWORD", help=f"let in nobody else; or put it into the variable {LOGIN_VARIABLE}")
    add("--model", action="append", metavar="NAME_OR_FILE", help="offer this model; give it again for more (all)")
    add_engine_option(parser)
    add(
        "--source",
        action="append",
        dest="sources",
        metavar="SOURCE",
        help="stream this from the start, and offer it to visitors: as in app.webcam; again for another, side by side",
    )
    add("--config", type=Path, metavar="CAMERAS.yaml", help="take these sources from a file; see the README")
    add("--zones", type=Path, metavar="ZONES.yaml", help="watch the zones and lines in that file in these sources")
    add(
        "--events",
        action="append",
        default=[],
        metavar="TARGET",
        help="send what happens in these sources as JSON there: a file, mqtt://HOST/TOPIC or https://...",
    )
    add(
        "--effect",
        action="append",
        default=[],
        type=effect,
        metavar="EFFECT",
        help=f"{USAGE}; in everything the page shows and records, and no visitor can take it away; again for another",
    )
    add("--folder", action="append", type=Path, metavar="DIR", help="open the files in DIR to visitors")
    add(
        "--allow-address",
        action="append",
        metavar="HOST",
        help="let visitors stream from HOST, such as 10.0.0.* or *; only with * are redirects and playlists followed",
    )
    add("--cameras", action="store_true", help="let visitors open this machine's cameras")
    add("--max-upload", type=count, default=500, metavar="MB", help="largest file that is taken (%(default)s)")
    add_pixel_option(parser)
    add_debug_flag(parser)
    return parser


def port(text: str) -> int:
    """Parse the number of a port."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 65535, got {text!r}")
    return int(text)


def host_name(text: str) -> str:
    """Parse a name such as `cats.example` or `cats.example:8443`."""
    if split_host(text) is None:
        raise argparse.ArgumentTypeError(f"must be a name such as cats.example or cats.example:8443, got {text!r}")
    return text


def check_listening(options: argparse.Namespace) -> None:
    """See whether the page's address can be listened on, before anything is built.

    Raises:
        AppError: it cannot.
    """
    host, number = options.host.strip("[]"), options.port or 0
    try:
        family = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, number), family=family).close()
    except OSError as error:
        where = f"{options.host}:{number}" if number else options.host
        reason = str(error.strerror).partition(" (")[0]  # Python appends the address
        raise AppError(f"could not listen on {where}: {reason}. Choose another --host or --port") from error


def access_of(options: argparse.Namespace) -> "Access":
    """Return what visitors may reach.

    Where only this machine can reach the page, its user may reach what any program of theirs can: the current folder,
    every address and every camera. Elsewhere only what was allowed by name.

    Raises:
        AppError: a folder does not exist.
    """
    from app.page.access import Access

    is_published = options.share or options.public_host or options.behind_proxy
    alone = is_loopback(options.host) and not is_published
    for folder in options.folder or ():
        if not folder.is_dir():
            raise AppError(f"--folder must be a folder, got {folder}")
    folders = options.folder if options.folder is not None else [Path.cwd()] if alone else []
    addresses = options.allow_address if options.allow_address is not None else ["*"] if alone else []
    return Access(tuple(folders), tuple(addresses), options.cameras or alone)


def plans_of(options: argparse.Namespace) -> "list[LanePlan]":
    """Return what is streamed from the start, source by source; nothing is opened.

    Raises:
        PlanError: the options contradict each other, the file of cameras is wrong, or there are too many sources.
        AreaError: the file of zones is wrong.
        SinkError: events cannot go there.
        SourceError: there is no such file.
        UnknownNameError: the model does not know a class of a source or an effect.
    """
    from app.events.event_targets import STANDARD_OUTPUT, check_target
    from app.lane_plan import LanePlan, PlanError, check_sources, event_targets_of, plan_sources
    from app.page.choice import MAX_SOURCES

    common = LanePlan("", "", Controls().score_threshold, None, False, None)
    common = replace(common, areas=areas_of(options.zones), events=tuple(options.events))
    if options.config is not None and options.sources:
        raise PlanError("give either --source or --config, got both")
    if options.config is not None:
        from app.cameras_file import read_plans

        plans = read_plans(options.config, common)
    else:
        plans = plan_sources(options.sources or [], common)
    if len(plans) > MAX_SOURCES:
        raise PlanError(f"the page shows at most {MAX_SOURCES} sources, got {len(plans)}")
    first_model = (options.model or list(VARIANTS))[0]
    if plans:
        check_sources(plans)
    for plan in plans:
        if first_model in VARIANTS:
            for classes in (plan.classes, *(area.classes for area in plan.areas)):
                check_classes(classes, VARIANTS[first_model].class_names)
    for target in event_targets_of(plans):
        check_target(target)
        if target == STANDARD_OUTPUT:
            raise PlanError("the page sends events to a file, mqtt:// or https://, not to standard output")
    if not plans and (options.zones or options.events):
        raise PlanError("--zones and --events need sources: add --source or --config")
    for one in options.effect:
        if first_model in VARIANTS:
            check_classes(one.classes, VARIANTS[first_model].class_names)
        if one.picture is not None and not one.picture.is_file():
            raise PlanError(f"the background must be a picture, got {one.picture}: name a PNG or JPEG file")
    return plans


def models_of(options: argparse.Namespace) -> "Models":
    """Return the models that are offered.

    Raises:
        AppError: one of them is neither a variant nor a file.
        UnknownNameError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    from app.page.model_cache import Models

    for name in options.model or ():
        if name not in VARIANTS and not Path(name).is_file():
            raise AppError(f"no model {name!r}: it must be a weights file, or one of {', '.join(VARIANTS)}")
    return Models(tuple(options.model or VARIANTS), check_engine_name(options.engine))


def login_of(options: argparse.Namespace) -> tuple[str, str] | None:
    """Return user and password, or None where everybody may come in.

    Raises:
        AppError: it is not of the form USER:PASSWORD. What was given is not shown.
    """
    given = options.login or os.environ.get(LOGIN_VARIABLE)
    if not given:
        return None
    user, _, password = given.partition(":")
    if not user or not password:
        raise AppError("--login must be USER:PASSWORD, with something on both sides of the colon")
    return user, password
