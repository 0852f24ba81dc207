"""Serves a video as `rtsp://127.0.0.1:PORT/live`, at the pace of its timestamps, and prints the port when it listens.

    /usr/bin/python3 tests/rtsp_server.py VIDEO.mp4 [--login USER:PASSWORD] [--port PORT] [--shared]

Runs under the system's Python, which has GStreamer's bindings (on Debian python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good and, for the parsers, gstreamer1.0-plugins-bad). Every viewer is served from the beginning of
the video, as by a file server; with `--shared` all see the same moment, as of a camera, and join in mid-stream.
"""

import argparse

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found] # noqa: E402 - versions first

PAYLOADERS = {"h264": "h264parse ! rtph264pay", "h265": "h265parse ! rtph265pay"}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", help="an MP4 file with H.264 or H.265 in it")
    parser.add_argument(
        "--codec", choices=[*PAYLOADERS, "audio"], default="h264", help="of the video; or its AAC alone"
    )
    parser.add_argument("--sound", action="store_true", help="send the AAC of the video, too")
    parser.add_argument("--login", metavar="USER:PASSWORD", help="let in nobody else")
    parser.add_argument("--port", default="0", help="where to listen; 0 takes a free one")
    parser.add_argument("--shared", action="store_true", help="all viewers see the same moment")
    options = parser.parse_args()
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch_line(options.video, options.codec, options.sound))
    factory.set_shared(options.shared)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    if options.login:
        ask_for(options.login, server, factory)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach():
        parser.exit(1, f"could not listen on port {options.port}\n")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def launch_line(video: str, codec: str, with_sound: bool) -> str:
    """Return the pipeline that serves one stream of `video`, or its pictures and its sound."""
    sound = "d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 " if with_sound else ""
    if codec == "audio":
        return f"( filesrc location={video} ! qtdemux name=d d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay0 )"
    return f"( filesrc location={video} ! qtdemux name=d d.video_0 ! queue ! {PAYLOADERS[codec]} name=pay0 {sound})"


def ask_for(login: str, server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory) -> None:
    """Let in only those who log in with `login`."""
    user, password = login.split(":")
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, user)
    login_check = GstRtspServer.RTSPAuth()
    login_check.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(login_check)
    permissions = GstRtspServer.RTSPPermissions()
    for right in (GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT):
        permissions.add_permission_for_role(user, right, True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
