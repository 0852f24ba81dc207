"""Serves a video as `rtsp://127.0.0.1:PORT/live`, at the pace of its timestamps, and prints the port when it listens.

    /usr/bin/python3 tests/rtsp_server.py VIDEO.mp4 [--login USER:PASSWORD]

Runs under the system's Python, which has GStreamer's bindings (on Debian python3-gi, gir1.2-gst-rtsp-server-1.0 and
gstreamer1.0-plugins-good). Every viewer is served from the beginning of the video.
"""

import argparse

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found] # noqa: E402 - versions first


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", help="an MP4 file with H.264 in it")
    parser.add_argument("--login", metavar="USER:PASSWORD", help="let in nobody else")
    options = parser.parse_args()
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( filesrc location={options.video} ! qtdemux ! rtph264pay name=pay0 )")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    if options.login:
        ask_for(options.login, server, factory)
    server.get_mount_points().add_factory("/live", factory)
    server.attach()
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


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
