"""The service: requests over HTTP -> durable jobs -> videos; entered through `app` and `client`."""
