"""Ingresses, certificates, and small HTTP servers behind them."""

import base64
import contextlib
import datetime
import functools
import http.server
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def backend(service="web", port=80):
    named = {"number": port} if isinstance(port, int) else {"name": port}
    return {"service": {"name": service, "port": named}}


def path(text="/", service="web", port=80, *, kind="Prefix"):
    return {"path": text, "pathType": kind, "backend": backend(service, port)}


def rule(host, *paths):
    return {**({"host": host} if host else {}), "http": {"paths": list(paths or (path(),))}}


def ingress(name="front", *rules, created="2027-01-15T08:00:00Z", annotations=None, cls="tiphys", **spec):
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": created}
    meta["annotations"] = annotations or {}
    spec = {"ingressClassName": cls, **({"rules": list(rules)} if rules else {}), **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def ingress_class(name="tiphys", controller="tiphys.io/ingress"):
    return {"kind": "IngressClass", "metadata": {"name": name}, "spec": {"controller": controller}}


@functools.cache
def key_pair(name):
    """(certificate, key) in PEM for a host; its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return builder.sign(key, hashes.SHA256()).public_bytes(pem), private


def tls_secret(name, host, *, key_of=""):
    certificate, key = key_pair(host)[0], key_pair(key_of or host)[1]
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "data": data}


@contextlib.contextmanager
def web(name):
    """A server on loopback that answers with its name, the path and who is said to ask; gives its port."""

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = f"{name} {self.path} {self.headers.get('X-Forwarded-Proto')}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            """Quiet."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request, client_address):
            """A connection that is kept ends with its client."""

    server = Server(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
