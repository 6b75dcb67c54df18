"""What a program that registers by its socket is asked and told: the plugin registration API v1."""

from __future__ import annotations

from tiphys.wire.protobuf import Table

GET_INFO = "/pluginregistration.Registration/GetInfo"
NOTIFY = "/pluginregistration.Registration/NotifyRegistrationStatus"

TABLE = Table("""
PluginInfo
  1 type string
  2 name string
  3 endpoint string
  4 supported_versions *string

RegistrationStatus
  1 plugin_registered bool
  2 error string
""")
