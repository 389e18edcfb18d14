"""Connections: how a worker proves who it is, over which TLS, with which pool. One module per way.

| template kind                      | module      | what is sent                                             |
|------------------------------------|-------------|----------------------------------------------------------|
| oauth2, token_exchange, cloud (azure, gcp) | oauth | an access token, cached and refreshed                  |
| jwt                                | jwts        | a token signed here                                      |
| saml2                              | saml        | an access token for a signed assertion                   |
| api_key, basic, digest, hmac       | http        | a header, parameter or signature on each request         |
| certificate                        | tls         | a client certificate in the handshake                    |
| ldap, database, queue, cloud (aws) | drivers     | the library's own log-in                                 |

Tokens are kept in this process and, encrypted under the very credential they were issued for, in
`<BASE_HOME>/tokens` (tokens.py): never in the lake, a log, a Result or XCom.
"""
