"""The API server: handlers, watch cache, authentication, authorization, admission, discovery."""
